"""`make demo`: one whole rental, from offer to deleted container, played live on real parts."""
