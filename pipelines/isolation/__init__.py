"""Work on recordings in processes that may crash or hang, and lose nothing but the clip that made them."""
