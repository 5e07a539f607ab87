"""The experiment as values and functions. Knows neither Ray nor actors; imports nothing heavy by itself."""
