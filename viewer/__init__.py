"""The viewer: what became of each task, in a browser, and "Run again".

It reads the records and changes nothing by itself: what a person decides goes through the inbox.
"""
