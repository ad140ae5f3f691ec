"""From what places hold to what people ask of certificates: lines, steps and counts."""
