"""Signal processing of a leg's audio: levels, keys, concealment, comfort noise."""
