"""``python -m coordinator COMMAND``: everything that never loads a record."""

from coordinator.command_line import main

COMMANDS = {
    "check": ("coordinator.check", "check a study's config files and say what they mean"),
    "cuts": ("coordinator.cuts", "tabulate where a model can be cut, and what each cut costs"),
    "serve": ("coordinator.server.serve", "coordinate one run: wait for the sites and train"),
    "serve-predictions": ("coordinator.server.predicting", "predict with sites, by a run's cut model"),
    "export": ("coordinator.export", "put a finished run's whole model into a folder, with its model card"),
    "status": ("coordinator.status", "say how runs stand at this moment, from their state folders"),
    "evaluate": ("coordinator.comparison.evaluate", "compare a study's finished runs"),
    "fork-server": ("coordinator.fork_server", "start parties by forking, for the launcher"),
    "admit": ("coordinator.admit", "put a site's keys on the manifest, by its request and fingerprint"),
    "remove": ("coordinator.remove", "take a site off the manifest, also in a running study"),
    "fingerprints": ("coordinator.fingerprints", "print every party's fingerprint, for people to compare"),
    "keys": ("coordinator.protocol.keys", "make fresh keys for a run on one host"),
}

if __name__ == "__main__":
    raise SystemExit(main("coordinator", COMMANDS))
