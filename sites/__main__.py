"""``python -m sites COMMAND``: everything that may load a patient's record."""

from coordinator.command_line import main

COMMANDS = {
    "deal": ("sites.deal", "deal an embedded or generated source to sites, as each site's own raw files"),
    "list": ("sites.listing", "name the sites of a source that holds all sites' records, as a study's YAML"),
    "to-meds": ("sites.to_meds", "write an eICU folder as MEDS, the Medical Event Data Standard"),
    "prepare": ("sites.prepare", "turn one site's raw files into prepared records"),
    "predict": ("sites.predict", "predict new records with a finished study's model"),
    "enrol": ("sites.enrol", "make this site's lasting keys and its request to be admitted"),
    "approve": ("sites.approve", "show what a run asks of this site, and approve it in its policy"),
    "ledger": ("sites.verifying", "check a site's ledger, and add up what left"),
    "audit": ("sites.audit", "attack finished runs, and score what was learned against the records"),
    "gate": ("sites.gatekeeping", "hold this site's keys, policy and ledger, apart from what trains"),
    "fork-server": ("coordinator.fork_server", "start a site's part in runs by forking, for the launcher"),
    "join": ("sites.client", "take part in one run as a site"),
}

if __name__ == "__main__":
    raise SystemExit(main("sites", COMMANDS))
