"""The machine's side: records, queue, runner, actions."""
