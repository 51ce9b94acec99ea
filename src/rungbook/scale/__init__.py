"""Training at scale: half precision with a loss scale, and what else lets a recipe grow (DESIGN, rung 10)."""
