"""The commands, one module each; `app` gathers them."""
