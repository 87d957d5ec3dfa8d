"""Input that lies: hostile rows and files, and whether each is answered rightly or refused."""
