"""Labels by a page in the browser, which people open while the model is trained."""
