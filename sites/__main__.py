"""``python -m sites COMMAND``: everything that may load a patient's record."""

from coordinator.command_line import main

COMMANDS = {
    "deal": ("sites.deal", "deal an embedded or generated source to sites, as each site's own raw files"),
    "prepare": ("sites.prepare", "turn one site's raw files into prepared records"),
    "join": ("sites.client", "take part in one run as a site"),
}

if __name__ == "__main__":
    raise SystemExit(main("sites", COMMANDS))
