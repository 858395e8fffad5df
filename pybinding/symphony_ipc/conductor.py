# SPDX-License-Identifier: MIT
"""The ready-made Conductor: runs a workflow that a file describes.

    python3 -m symphony_ipc.conductor WORKFLOW.json [--set NAME=VALUE]...

dag_tracker says which node is next, pool_manager leases it a slot, an extension
in a process of its own does the work. docs/workflow.md tells the file's form.
"""

import argparse
import asyncio
import collections
import json
import math
import os
import re
import shlex
import shutil
import signal
import sys
import time

from . import _symphony, errors, workflow
from .bus import IPCBus

START_TIMEOUT = 60
STOP_TIMEOUT = 5
HOLD_TIMEOUT = 20
POOL_SIZE = 16 << 20


class Failure(Exception):
    """The workflow cannot go on, or its outcome is not what it has to be."""


# --- what is told on the way -------------------------------------------------


class Progress:
    """One line that is kept up to date, or a line for each thing that happens."""

    def __init__(self, out, line):
        self.out = out
        self.line = line
        self.text = ""

    def status(self, text):
        if self.line:
            self.text = text
            self._draw(text)

    def step(self, text):
        if not self.line:
            self._write(f"{text}\n")

    def event(self, text):
        self._write(f"\r\x1b[K{text}\n" if self.line else f"{text}\n")
        if self.line:
            self._draw(self.text)

    def end(self):
        if self.line and self.text:
            self._write("\r\x1b[K")
            self.text = ""

    def _draw(self, text):
        width = shutil.get_terminal_size().columns - 1
        self._write(f"\r\x1b[K{text[:width]}")

    def _write(self, text):
        self.out.write(text)
        self.out.flush()


class Figures:
    """What the calls of one extension took."""

    def __init__(self):
        self.times = []
        self.calls = self.failed = self.waited = self.sent = self.received = 0

    def percentile(self, percent):
        times = sorted(self.times)
        return times[math.ceil(len(times) * percent / 100) - 1] if times else None


def duration(seconds):
    if seconds is None:
        return "-"
    for unit, scale in (("s", 1), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}" if seconds * scale < 1000 \
                else f"{seconds * scale:.0f} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def size(count):
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            break
        count /= 1024
    else:
        unit = "GiB"
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def encoded_size(value):
    """Bytes of a message's body, or of an answer's."""
    if isinstance(value, (bytes, memoryview)):
        return len(value)
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def answered_size(error):
    """The same of what a call that failed has brought: of most failures, nothing."""
    if not isinstance(error, errors.ExtensionError):
        return 0
    reply = {"code": error.code, "message": str(error)}
    return encoded_size(reply if error.data is None else {**reply, "data": error.data})


def some(count, what):
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def summary(value):
    """A result in a few words: its size, and the largest of counts."""
    if not isinstance(value, (dict, list)):
        return json.dumps(value)
    text = f"{len(value):,} members"
    if isinstance(value, dict) and value and all(type(x) is int for x in value.values()):
        most = sorted(value.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
        text += f", {sum(value.values()):,} in all; most: " \
            + ", ".join(f"{name} {count:,}" for name, count in most)
    return text


# --- processes ---------------------------------------------------------------


class Replica:
    """A process that is an extension. It ends no later than the Conductor."""

    def __init__(self, extension, number, process):
        self.name = f"{extension.id}[{number}]"
        self.process = process
        self.pid = process.pid
        self.expected_end = False

    @classmethod
    async def start(cls, extension, number, environment):
        argv = extension.argv
        if shutil.which(argv[0]) is None:
            raise Failure(f"extension '{extension.id}': there is no program '{argv[0]}'")
        # A Conductor that is killed cannot clean up: then the kernel does.
        if shutil.which("setpriv"):
            argv = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
        # A group of its own: Ctrl-C is the Conductor's, which ends them in order.
        process = await asyncio.create_subprocess_exec(
            *argv, env=environment, stdin=asyncio.subprocess.DEVNULL, process_group=0)
        return cls(extension, number, process)

    @property
    def alive(self):
        return self.process.returncode is None

    def signal(self, number):
        if self.alive:
            self.process.send_signal(number)

    def pause(self):
        """Returns when it has stopped, and not before."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    async def end(self):
        self.expected_end = True
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.process.wait()

    def how_it_ended(self):
        status = self.process.returncode
        return f"was killed by {signal.Signals(-status).name}" if status < 0 \
            else f"ended with status {status}"


class Death:
    """One replica is killed while it surely has a call.

    Once so many calls were made to the extension, further ones wait until those
    have their outcome. Then its replicas are stopped and the calls let go: the kernel
    gives each to the replica with the fewest, so when there are as many as
    replicas, each has one. Then one is killed and the others continue.
    """

    def __init__(self, plan, replicas, tell):
        self.extension = plan.extension
        self.after = plan.after
        self.replicas = replicas
        self.tell = tell
        self.phase = "waiting"
        self.calls = self.out = 0
        self.change = asyncio.Condition()

    async def before_call(self):
        async with self.change:
            if self.phase == "waiting" and self.calls == self.after:
                self.phase = "draining"
            if self.phase == "draining":
                await self.change.wait_for(lambda: self.phase != "draining" or not self.out)
            if self.phase == "draining":
                for replica in self.replicas:
                    replica.pause()
                self.phase = "holding"
                self.change.notify_all()
                asyncio.get_running_loop().call_later(HOLD_TIMEOUT, self.give_up)
            self.calls += 1
            self.out += 1

    def called(self):
        if self.phase == "holding" and self.out >= len(self.replicas):
            victim = self.replicas[0]
            victim.expected_end = True
            victim.signal(signal.SIGKILL)
            for replica in self.replicas[1:]:
                replica.signal(signal.SIGCONT)
            self.phase = "done"
            self.tell(f"{victim.name} (pid {victim.pid}) killed with SIGKILL")

    def give_up(self):
        """What is held back may be what the missing calls wait for."""
        if self.phase == "holding":
            self.phase = "done"
            for replica in self.replicas:
                replica.signal(signal.SIGCONT)

    async def after_call(self):
        async with self.change:
            self.out -= 1
            self.change.notify_all()


# --- the Conductor -----------------------------------------------------------


class Conductor:
    def __init__(self, plan, bus_name, progress):
        self.plan = plan
        self.bus_name = bus_name
        self.progress = progress
        self.figures = collections.defaultdict(Figures)
        self.inside = ()
        self.replicas = []
        self.watchers = []
        self.stopping = False
        self.results = {}
        self.death = None
        self.deaths = 0                     # of replicas
        self.lost = 0                       # calls that a death ended
        self.causes = collections.Counter() # of the other failures: what happened
        self.began = time.perf_counter()

    async def run(self):
        """Raises Failure, errors.BusError or an ExceptionGroup of them."""
        self.bus = IPCBus(self.bus_name, pool_size=POOL_SIZE)
        try:
            await self.bus.start()
            if not self.bus.serving:
                self.bus.call(next(iter(self.plan.extensions)), None)  # says why not
            self.inside = self.bus.pit
            await self.start_extensions()
            self.began = time.perf_counter()
            await self.run_nodes()
            self.elapsed = time.perf_counter() - self.began
        finally:
            await self.stop_extensions()
            self.bus.close()

    async def call(self, extension_id, method, params, timeout=None):
        """send_message(), measured."""
        message = {"method": method, "params": params}
        figures = self.figures[extension_id]
        figures.calls += 1
        began = time.perf_counter()
        call = self.bus.send_message(extension_id, message, timeout=timeout)
        if self.death and extension_id == self.death.extension:
            self.death.called()
        at_once = call.done()
        sent, received = encoded_size(message), 0
        try:
            result = await call
            received = encoded_size(result)
            return result
        except errors.BusError as error:
            figures.failed += 1
            received = answered_size(error)
            if not error.call_id:
                sent = 0    # there was no call
            raise
        finally:
            # In the Pit a call may wait its turn, which says nothing about the call.
            if at_once or extension_id not in self.inside:
                figures.times.append(time.perf_counter() - began)
            else:
                figures.waited += 1
            if extension_id not in self.inside:
                figures.sent += sent
                figures.received += received

    async def pool(self, method, **params):
        return await self.call("pool_manager", method, params)

    async def dag(self, method, **params):
        return await self.call("dag_tracker", method, {"workflow": self.plan.name, **params})

    # --- extensions

    async def start_extensions(self):
        environment = {**os.environ, "SYMPHONY_BUS": self.bus_name,
                       "SYMPHONY_BUS_OWNER": str(os.geteuid())}
        extensions = self.plan.extensions.values()
        self.progress.status("starting the extensions")
        for extension in extensions:
            for number in range(extension.replicas):
                replica = await Replica.start(extension, number, environment)
                self.replicas.append(replica)
                self.watchers.append(asyncio.create_task(self.watch(replica)))
        for extension in extensions:
            await self.wait_for(extension)
        if self.plan.kill:
            victims = self.replicas_of(self.plan.kill.extension)
            self.death = Death(self.plan.kill, victims, self.progress.event)
        self.progress.step(f"{len(self.replicas)} processes serve {len(extensions)} extensions")

    def replicas_of(self, extension_id):
        return [replica for replica in self.replicas
                if replica.name.startswith(f"{extension_id}[")]

    async def wait_for(self, extension):
        """Until each replica has answered: from then on the kernel chooses among all."""
        replicas = self.replicas_of(extension.id)
        silent = {replica.pid for replica in replicas}
        deadline = time.monotonic() + START_TIMEOUT
        while silent:
            call = self.bus.send_message(extension.id, {"method": "describe"},
                                         timeout=START_TIMEOUT)
            try:
                about = await call
                silent.discard(call.pid)
            except errors.NoReplica:
                pass
            for replica in replicas:
                if not replica.alive:
                    raise Failure(f"{replica.name} {replica.how_it_ended()} before it answered")
            if time.monotonic() > deadline:
                raise Failure(f"extension '{extension.id}' does not answer")
            if silent:
                await asyncio.sleep(0.05)
        known = {method["name"] for method in about["methods"]}
        for node in self.plan.nodes.values():
            if node.extension == extension.id and node.method not in known and known:
                raise Failure(f"node '{node.id}': extension '{extension.id}' has no method "
                              f"'{node.method}'; it has {', '.join(sorted(known))}")

    async def watch(self, replica):
        await replica.process.wait()
        self.deaths += not self.stopping
        if not replica.expected_end:
            self.progress.event(f"{replica.name} (pid {replica.pid}) {replica.how_it_ended()}")

    async def stop_extensions(self):
        self.stopping = True
        await asyncio.gather(*[replica.end() for replica in self.replicas])
        await asyncio.gather(*self.watchers)

    # --- nodes

    async def run_nodes(self):
        plan = self.plan
        for pool, capacity in plan.pools.items():
            await self.pool("create_pool", pool=pool, capacity=capacity)
        await self.dag("create", nodes=list(plan.nodes), edges=plan.edges,
                       max_attempts=plan.attempts, backoff_ms=plan.backoff_ms)
        async with asyncio.TaskGroup() as running:
            while True:
                taken = await self.dag("take", limit=len(plan.nodes), wait=True)
                for item in taken["nodes"]:
                    node = plan.nodes[item["node"]]
                    running.create_task(self.run_node(node, item["attempt"]))
                if taken["done"]:
                    break
        self.state = await self.dag("progress")

    async def run_node(self, node, attempt):
        lease = None
        if node.pool:
            lease = await self.pool("acquire", pool=node.pool, units=node.units)
        began = time.perf_counter()
        try:
            result = await self.work(node)
        except errors.BusError as error:
            await self.failed(node, attempt, error)
        else:
            self.results[node.id] = result
            await self.dag("complete", node=node.id, attempt=attempt)
            await self.show(f"{node.id} done in {duration(time.perf_counter() - began)}")
        finally:
            if lease:
                await self.pool("release", lease=lease["lease"])

    async def work(self, node):
        mortal = self.death if self.death and self.death.extension == node.extension else None
        params = workflow.resolve(node.params, self.results)
        if mortal:
            await mortal.before_call()
        try:
            result = await self.call(node.extension, node.method, params, node.timeout)
        finally:
            if mortal:
                await mortal.after_call()
        if isinstance(result, (bytes, memoryview)):
            raise Failure(f"node '{node.id}': extension '{node.extension}' answered with bytes; "
                          "the result of a node is JSON")
        return result

    async def failed(self, node, attempt, error):
        if isinstance(error, errors.Dead):
            self.lost += 1
        else:
            self.causes[type(error).__name__] += 1
        # The same question gets the same error reply.
        again = not isinstance(error, (errors.ExtensionError, errors.TooLarge))
        text = str(error).encode()[:1000].decode(errors="ignore")
        after = await self.dag("fail", node=node.id, attempt=attempt, error=text, retry=again)
        what_next = "failed" if after["state"] == "failed" else "will be tried again"
        self.progress.event(f"{node.id}: attempt {attempt}: {text}; {what_next}")

    async def show(self, text):
        if not self.progress.line:
            done = len(self.results)
            self.progress.step(f"{done:4}/{len(self.plan.nodes)}  {text}")
            return
        state = await self.dag("progress")
        counts = state["counts"]
        self.progress.status(
            f"{self.plan.name}  {counts['done']}/{state['total']} nodes done, "
            f"{counts['running']} running, {state['retries']} retried, "
            f"{duration(time.perf_counter() - self.began)}; {text}")

    # --- the outcome

    async def verdict(self):
        """Lines that tell the outcome; raises Failure when it is not the wanted one."""
        state, counts = self.state, self.state["counts"]
        lines = [f"{counts['done']} of {state['total']} nodes done in "
                 f"{some(state['attempts'], 'attempt')}, {state['retries']} retried"
                 + (f"; {some(max(self.deaths, 1), 'replica')} died, which ended "
                    f"{some(self.lost, 'call')}" if self.deaths or self.lost else "")
                 + "".join(f"; {some(count, 'call')} failed with {what}"
                           for what, count in self.causes.items())]
        if state["state"] != "done":
            raise Failure(f"{lines[0]}; the workflow is {state['state']}")
        if self.death and not self.lost:
            raise Failure(f"{lines[0]}; '{self.death.extension}' was to lose a replica "
                          "in the middle of a call and did not")
        if self.plan.check:
            lines.append(await self.check(self.plan.check))
        return lines

    async def check(self, check):
        result = self.results[check.node]
        program = await asyncio.create_subprocess_exec(
            *check.argv, stdout=asyncio.subprocess.PIPE)
        try:
            output, _ = await program.communicate()
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()
        if program.returncode:
            raise Failure(f"check: {shlex.join(check.argv)}: status {program.returncode}")
        expected = json.loads(output)
        if result != expected:
            raise Failure(f"the result of '{check.node}' ({summary(result)}) is not what "
                          f"{shlex.join(check.argv)} says ({summary(expected)})"
                          + difference(result, expected))
        return f"the result of '{check.node}' equals what {shlex.join(check.argv)} says: " \
            + summary(result)

    def table(self):
        rows = [("extension", "calls", "failed", "waited", "sent", "received", "p50", "p99")]
        for where, inside in (("in-process", True), ("through the device", False)):
            ids = [name for name in self.figures if (name in self.inside) == inside]
            total = sum(self.figures[name].calls for name in ids)
            rows.append((f"{where}:", str(total)))
            for name in ids:
                one = self.figures[name]
                rows.append((f"  {name}", str(one.calls), str(one.failed),
                             str(one.waited) if inside else "-",
                             "-" if inside else size(one.sent),
                             "-" if inside else size(one.received),
                             duration(one.percentile(50)), duration(one.percentile(99))))
        widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]))]
        return ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                          for i, (cell, width) in enumerate(zip(row, widths))) for row in rows]


def difference(result, expected):
    """Where two objects differ first, for people."""
    if not isinstance(result, dict) or not isinstance(expected, dict):
        return ""
    names = sorted(name for name in result.keys() | expected.keys()
                   if result.get(name) != expected.get(name))
    return "; " + ", ".join(f"{name}: {result.get(name)} and not {expected.get(name)}"
                            for name in names[:3])


# --- the program -------------------------------------------------------------


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="python3 -m symphony_ipc.conductor",
        description="Run a workflow that a file describes.",
        epilog="Exit status: 0, 1 when the workflow or its check failed, "
               "2 for a wrong file or option, 130 when interrupted.")
    parser.add_argument("workflow", help="a JSON file; docs/workflow.md tells its form")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a variable of the workflow: JSON, or else text")
    parser.add_argument("--bus", help="name of the bus (default: one of its own)")
    parser.add_argument("--kill", metavar="ID[:N]",
                        help="kill a replica of this extension in a call, after N calls")
    parser.add_argument("--no-kill", action="store_true", help="kill none, whatever the file says")
    parser.add_argument("--output", metavar="FILE", help="write the results of all nodes, as JSON")
    parser.add_argument("--progress", choices=["auto", "line", "plain"], default="auto",
                        help="one line that changes, or plain lines (default: line on a terminal)")
    return parser.parse_args(argv)


def read_plan(options):
    variables = {}
    for text in options.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise workflow.WorkflowError(f"--set {text}: expected NAME=VALUE")
        try:
            variables[name] = workflow.loads(value)
        except ValueError:
            variables[name] = value
        try:
            value.encode()
        except UnicodeEncodeError:
            raise workflow.WorkflowError(f"--set {name}: the value is no text") from None
    if options.bus is not None:
        try:
            _symphony.check_name(options.bus, "--bus")
        except ValueError as error:
            raise workflow.WorkflowError(error) from None
    if options.output:
        try:
            # Found now, and not when the work is done.
            open(options.output, "a").close()
        except OSError as error:
            raise workflow.WorkflowError(f"--output {options.output}: {error.strerror}") from None
    plan = workflow.load(options.workflow, variables)
    if options.no_kill:
        plan.kill = None
    elif options.kill:
        extension, _, after = options.kill.partition(":")
        # More digits than nine are more calls than there are.
        if not re.fullmatch("[0-9]{0,9}", after):
            raise workflow.WorkflowError(f"--kill {options.kill}: expected ID or ID:N")
        plan.kill = workflow.check_kill(workflow.Kill(extension, int(after or 0)),
                                        plan.extensions, plan.pools, plan.nodes)
    return plan


async def conduct(options, plan, out):
    line = options.progress == "line" or options.progress == "auto" and out.isatty()
    progress = Progress(out, line)
    conductor = Conductor(plan, options.bus or f"conductor-{os.getpid()}", progress)
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, asyncio.current_task().cancel)
    try:
        await conductor.run()
    finally:
        progress.end()
    for row in ["", *conductor.table(), ""]:
        print(row, file=out)
    if options.output:
        with open(options.output, "w") as file:
            json.dump(conductor.results, file)
    for row in await conductor.verdict():
        print(row, file=out)
    print(f"outcome: ok, {duration(conductor.elapsed)}", file=out)


def causes(error):
    if isinstance(error, BaseExceptionGroup):
        return [cause for inner in error.exceptions for cause in causes(inner)]
    return [error]


def main(argv=None, out=None):
    out = out or sys.stdout
    options = parse(argv)
    try:
        plan = read_plan(options)
    except workflow.WorkflowError as error:
        print(f"conductor: error: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(conduct(options, plan, out))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("conductor: interrupted", file=sys.stderr)
        return 130
    except (Failure, errors.BusError, ExceptionGroup) as error:
        if not all(isinstance(cause, (Failure, errors.BusError)) for cause in causes(error)):
            raise
        for cause in causes(error):
            print(f"conductor: error: {cause}", file=sys.stderr)
        print("outcome: failed", file=out)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
