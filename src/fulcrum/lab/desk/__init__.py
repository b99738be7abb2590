"""The support desk of the shop: dialogues with simulated customers, tools on a copy of the database, house practice."""
