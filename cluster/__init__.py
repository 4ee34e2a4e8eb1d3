"""Ray and machines: sessions, what they offer, and the files that bring clusters up."""
