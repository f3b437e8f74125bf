"""A police desk to try Sigap with: receives signed alarms, shows them, and answers each stage."""
