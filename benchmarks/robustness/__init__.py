"""How the product answers damaged files, odd folders and kills."""
