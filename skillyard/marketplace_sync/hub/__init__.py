"""What only a hub does: namespaces, publishing behind the scan gate, files, channels, ratings, moderation, tokens of
followers, signed heads. I/O: the database, files of the home."""
