"""Floor 4: what users hold. Import the names from `isthmus`; this file stays empty and cheap."""
