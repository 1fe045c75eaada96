"""How is it searched over HTTP? The app, what clients send and get, who may, and how much at a time."""
