"""Many watchers of one service on ten channels: dashboards, and every client that waits for READY. The figures for ten
thousand are in docs/performance.md (tests/bench/compare.py --case services); here is what must hold, with as many as a
Python client can end in moments when something is wrong."""

import asyncio
import collections
import pathlib

import grpc

import harness

pb, pb_grpc = harness.load_stubs()

ARCH = "tao-dataservices"
WATCHERS, CHANNELS = 2000, 10
LIMIT = 3 * harness.LIMIT  # for thousands of anything, most of it this client's own work
# A stream of gRPC's costs the daemon about 20 KiB; much more would be events that pile up.
BYTES_EACH = 64 << 10


def resident(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def threads(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/task").iterdir()))


async def watch(daemon, job_id):
    """What each watcher heard, and what the daemon was while they all listened."""
    heard = collections.defaultdict(list)
    # Each channel with a connection of its own.
    channels = [grpc.aio.insecure_channel(daemon.grpc, options=[("grpc.use_local_subchannel_pool", 1)])
                for _ in range(CHANNELS)]
    all_told = asyncio.Event()

    async def follow(number):
        api = pb_grpc.InferenceServiceStub(channels[number % CHANNELS])
        async for event in api.WatchReadiness(pb.WatchReadinessRequest(job_id=job_id)):
            heard[number].append(event.service.phase)
            if len(heard) == WATCHERS:
                all_told.set()

    watchers = [asyncio.create_task(follow(number)) for number in range(WATCHERS)]
    await asyncio.wait_for(all_told.wait(), LIMIT)
    during = {"resident": resident(daemon.process.pid), "threads": threads(daemon.process.pid)}

    # Others are answered meanwhile, over gRPC and HTTP.
    api = pb_grpc.InferenceServiceStub(channels[0])
    listed = await api.List(pb.ListRequest(), timeout=LIMIT)
    assert [service.job_id for service in listed.services] == [job_id]
    chat = await asyncio.to_thread(daemon.chat, model=job_id)
    assert chat.status == 200, chat.body

    await api.Stop(pb.StopRequest(job_id=job_id), timeout=LIMIT)
    # The streams end by themselves, each after its last event.
    await asyncio.wait_for(asyncio.gather(*watchers), LIMIT)
    for channel in channels:
        await channel.close()
    return heard, during


def test_every_watcher_hears_of_everything_and_none_is_a_burden(tmp_path):
    with harness.daemon(tmp_path, "--stop-services-on-exit") as daemon:
        job_id = daemon.start(ARCH)
        pid = daemon.process.pid
        before = {"resident": resident(pid), "threads": threads(pid)}
        heard, during = asyncio.run(watch(daemon, job_id))

        assert len(heard) == WATCHERS
        # What lies between may be several messages of DRAINING, or skipped for a slow reader.
        life = [pb.PHASE_READY, pb.PHASE_DRAINING, pb.PHASE_STOPPED]
        wrong = {number: phases for number, phases in heard.items()
                 if (phases[0], phases[-1]) != (life[0], life[-1]) or phases != sorted(phases, key=life.index)}
        assert not wrong, wrong
        grown = during["resident"] - before["resident"]
        assert grown < WATCHERS * BYTES_EACH, f"{grown / WATCHERS} bytes each"
        # gRPC's own pool may grow by some; a thread for each watcher would be a thousand.
        assert during["threads"] <= before["threads"] + 32, (before, during)
        harness.wait_for("an empty list", lambda: daemon.services() == [])
