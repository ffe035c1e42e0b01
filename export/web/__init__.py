"""A static site in which anyone can try an exported model in the browser."""
