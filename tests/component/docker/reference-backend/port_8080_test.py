"""cosmos-rl has no port flag: it takes 8080. CMakeLists.txt locks that port for this test."""

import socket

from backend import cosmos_rl, run_to_end


def test_cosmos_rl_wants_port_8080():
    # Held by this test, or by somebody else on this machine: either way the port is taken.
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("0.0.0.0", 8080))
        holder.listen()
    except OSError:
        pass
    with holder:
        ended = run_to_end(cosmos_rl())
    assert ended.returncode == 1
    assert "Port 8080 is in use by another program" in ended.stderr
