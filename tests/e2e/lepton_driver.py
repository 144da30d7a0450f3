"""What the cases that hold for every platform need to know of lepton."""

import contextlib

import contract_cases
import crash_cases

SECRETS = {"HF_TOKEN": "planted-hf-token-for-lepton", "NGC_KEY": "planted-ngc-key-for-lepton"}


def name_of(job_id):
    return "tao-" + job_id.replace("-", "")[:28]


class Lepton(contract_cases.Driver):
    platform = "lepton"
    first_port = 0  # it takes none of this host

    def __init__(self, lepton):
        self.lepton = lepton
        self.flags = (f"--upstream-ca-file={lepton.ca}",)

    def environment(self, broken):
        return {**self.lepton.environment(), **SECRETS}

    def jobs(self, folder):
        names = {name_of(job_id): job_id for job_id in crash_cases.records(folder)}
        return {names[name]: (name, endpoint.serial)
                for name, endpoint in list(self.lepton.endpoints.items()) if name in names}

    def leftovers(self, folder):
        suffixes = [job_id.replace("-", "")[:12].upper() for job_id in crash_cases.records(folder)]
        secrets = [name for name in list(self.lepton.user_secrets) if name[-12:] in suffixes]
        return [*self.jobs(folder), *secrets]

    def clear(self, folder):
        for name in list(self.lepton.endpoints):
            self.lepton.remove(name)

    def take_away(self, folder, job_id):
        self.lepton.leave(name_of(job_id))
        self.lepton.remove(name_of(job_id))

    @contextlib.contextmanager
    def unreachable(self):
        self.lepton.down = True
        try:
            yield
        finally:
            self.lepton.down = False

    def missing(self):
        return {"LEPTON_AUTH_TOKEN": ""}, (), "credentials"
