"""The machine's thin ear: it hears the relay and hands everything to the inbox."""
