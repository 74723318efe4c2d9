"""Home Assistant in this process, mosquitto and the bridge beside it; see `run`.

    check.py PROGRAM MOSQUITTO DIR
"""

import asyncio
import functools
import json
import logging
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import traceback

from homeassistant import bootstrap, runner
from homeassistant.helpers import device_registry, entity_registry
import paho.mqtt.publish

PROGRAM, MOSQUITTO, DIR = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], pathlib.Path(sys.argv[3])
ALICE, BOB = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
# Names that would break a topic, an id, a template or an entity's id if they were taken as they are.
HOSTILE = ["Zoë.Müller@example.com", "a_b", "a-b", "a.b", "x{{7*7}}\"'\\", "王" * 64, "~", "bridge"]
SIGNALS = {"dnd": "DoNotDisturb/Presenting", "call": "Busy/InACall", "meeting": "Busy/InAConferenceCall",
           "at_desk": "Available/Available", "'}}{%x": "Away/Away"}
# What people copy from there is tried as it stands.
DOCS = pathlib.Path("docs/home-assistant.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
FIXED = 3  # presence, busy, pause
BRIDGE = ["binary_sensor.bridge_under_test_connectivity", "sensor.bridge_under_test_alarms",
          "sensor.bridge_under_test_calls_per_minute"]
LOGGERS = ("homeassistant.components.mqtt", "homeassistant.components.sensor", "homeassistant.components.switch",
           "homeassistant.components.binary_sensor", "homeassistant.helpers.entity", "homeassistant.helpers.template",
           "homeassistant.util", "homeassistant.core")


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Complaints(logging.Handler):
    """What Home Assistant holds against our payloads."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.found = []

    def emit(self, record):
        if record.name.startswith(LOGGERS):
            self.found.append(f"{record.levelname} {record.name}: {record.getMessage()}")


class Bridge:
    """The real program; the Graph that it calls is simulated in it."""

    def __init__(self, port):
        self.port, self.people, self.signals, self.discovery, self.child = port, {}, dict(SIGNALS), True, None
        self.people = {"alice": ALICE, "bob": BOB}
        for number, label in enumerate(HOSTILE):
            self.people[label] = f"33333333-3333-4333-8333-{number:012d}"

    def write(self):
        rows = lambda table: "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in table.items())
        (DIR / "bridge.toml").write_text(f"""
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "secret"
[mqtt]
url = "mqtt://127.0.0.1:{self.port}"
client_id = "bridge-under-test"
[home_assistant]
discovery = {str(self.discovery).lower()}
[state]
dir = "state"
[admin]
listen = "off"
socket = "off"
[users]
{rows(self.people)}
[devices]
"1001" = "alice"
[signals]
{rows(self.signals)}
[[rule]]
topic = "pbx/{{ext}}"
subject = "{{ext}}"
signal = "call"
on = ["INUSE"]
off = ["NOT_INUSE"]
ttl = "8h"
""")

    def start(self):
        (DIR / "secret").write_text("sandbox-secret")
        self.write()
        log = (DIR / "bridge.log").open("a")
        self.child = subprocess.Popen([PROGRAM, "run", "-c", DIR / "bridge.toml", "--sandbox", "graph"],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self, how):
        if self.child:
            self.child.send_signal(how)
            self.child.wait(20)
            self.child = None


def hang_a_light(port):
    """Somebody's, retained; and with that the broker is there."""
    light = {"name": "Alice door", "unique_id": "door", "command_topic": "door/set"}
    for attempt in range(100):
        try:
            paho.mqtt.publish.single("homeassistant/light/door/config", json.dumps(light), 1, True, port=port)
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("mosquitto does not listen")


def storage(name, version, data):
    (DIR / "ha/.storage").mkdir(parents=True, exist_ok=True)
    content = {"version": version, "minor_version": 1, "key": name, "data": data}
    (DIR / "ha/.storage" / name).write_text(json.dumps(content))


async def home_assistant(port):
    (DIR / "ha").mkdir(exist_ok=True)
    # Without a place it asks the internet for it.
    (DIR / "ha/configuration.yaml").write_text(f"""
homeassistant:
  name: Home
  latitude: 52.5
  longitude: 13.4
  elevation: 34
  unit_system: metric
  time_zone: Europe/Berlin
http:
  server_host: 127.0.0.1
  server_port: {free_port()}
logger:
  default: warning
automation: !include automations.yaml
script: !include scripts.yaml
""")
    automation, script, _ = BLOCKS
    (DIR / "ha/automations.yaml").write_text(automation)
    (DIR / "ha/scripts.yaml").write_text(script)
    # A broker can only be given as an entry.
    storage("core.config_entries", 1, {"entries": [{
        "entry_id": "0123456789abcdef0123456789abcdef", "version": 1, "minor_version": 1, "domain": "mqtt",
        "title": "broker", "data": {"broker": "127.0.0.1", "port": port, "discovery": True,
                                    "discovery_prefix": "homeassistant"},
        "options": {}, "pref_disable_new_entities": False, "pref_disable_polling": False, "source": "user",
        "unique_id": None, "disabled_by": None}]})
    hass = await bootstrap.async_setup_hass(runner.RuntimeConfig(config_dir=str(DIR / "ha"), skip_pip=False))
    await hass.async_start()
    return hass


class Check:
    def __init__(self, hass, bridge):
        self.hass, self.bridge, self.passed = hass, bridge, 0
        self.entities, self.devices = entity_registry.async_get(hass), device_registry.async_get(hass)

    def shown(self):
        return {state.entity_id: state.state for state in self.hass.states.async_all(("sensor", "binary_sensor", "switch"))}

    async def until(self, what, condition):
        """Waits for it; what is not so after 30 s never will be."""
        end = time.monotonic() + 30
        while True:
            await self.hass.async_block_till_done()
            try:
                if condition():
                    break
            except (KeyError, AttributeError, TypeError, IndexError):
                pass
            if time.monotonic() > end:
                raise AssertionError(f"not so: {what}\n{json.dumps(self.shown(), indent=1)}")
            await asyncio.sleep(0.05)
        self.passed += 1
        print(f"  {what}")

    async def shows(self, **states):
        wanted = {key.replace("__", "."): value for key, value in states.items()}
        what = ", ".join(f"{key} is {value}" for key, value in wanted.items())
        await self.until(what, lambda: all(self.shown()[key] == value for key, value in wanted.items()))

    def attribute(self, entity, name):
        return self.hass.states.get(entity).attributes[name]

    async def publish(self, topic, payload):
        say = functools.partial(paho.mqtt.publish.single, topic, payload, qos=1, port=self.bridge.port)
        await asyncio.get_running_loop().run_in_executor(None, say)

    async def switch(self, entity, to):
        await self.hass.services.async_call("switch", f"turn_{to}", {"entity_id": entity}, blocking=True)

    def ours(self):
        return [e for e in self.entities.entities.values() if e.unique_id.startswith("presence-bridge__")]

    def entity(self, label, name):
        """By what it is called, as somebody looks for it."""
        device = next(d for d in self.devices.devices.values() if d.name == label)
        found = [e for e in self.ours() if e.device_id == device.id and e.original_name == name]
        assert len(found) == 1, found
        return found[0].entity_id

    def expected(self):
        return len(self.bridge.people) * (FIXED + len(self.bridge.signals)) + len(BRIDGE)

    async def everything_is_there(self):
        await self.until(f"{self.expected()} entities", lambda: len(self.ours()) == self.expected())
        await self.until("all of them are available", lambda: "unavailable" not in self.shown().values()
                         and len(self.shown()) >= self.expected())
        await self.until("and say something", lambda: "unknown" not in self.shown().values())

    async def devices_are_right(self):
        bridge = next(d for d in self.devices.devices.values() if d.name == "bridge-under-test")
        assert bridge.sw_version and bridge.manufacturer == "presence-bridge", bridge
        by_name = {d.name: d for d in self.devices.devices.values()}
        assert set(by_name) == {*self.bridge.people, "bridge-under-test"}, by_name.keys()
        for label in self.bridge.people:
            assert by_name[label].via_device_id == bridge.id, f"{label} is not linked to the bridge"
            names = {e.original_name for e in self.ours() if e.device_id == by_name[label].id}
            assert names == {"Presence", "Busy", "Pause", *self.bridge.signals}, names
        await self.until("a device a person, linked to the bridge, with the entities it should have", lambda: True)

    async def phone(self):
        await self.shows(sensor__alice_presence="none", binary_sensor__alice_busy="off", switch__alice_call="off")
        await self.publish("pbx/1001", "INUSE")
        await self.shows(sensor__alice_presence="In a call", binary_sensor__alice_busy="on")
        await self.until("because of the phone", lambda: self.attribute("sensor.alice_presence", "because") == "call@1001")
        await self.until("since and until are times", lambda: all(
            self.attribute("sensor.alice_presence", key).startswith("20") for key in ("since", "until")))
        await self.until("and Graph holds it", lambda: self.attribute("sensor.alice_presence", "held") == "Busy/InACall")
        assert self.shown()["switch.alice_call"] == "off", "the door holds nothing"
        assert self.shown()["binary_sensor.bob_busy"] == "off"
        await self.publish("pbx/1001", "NOT_INUSE")
        await self.shows(sensor__alice_presence="none", binary_sensor__alice_busy="off")
        await self.until("because of nothing", lambda: self.attribute("sensor.alice_presence", "because") is None)

    async def switches(self):
        for signal_name, presence, busy in [("dnd", "Presenting", "on"), ("call", "In a call", "on"),
                                            ("meeting", "In a meeting", "on"), ("at_desk", "Available", "off"),
                                            ("'}}{%x", "Away", "off")]:
            entity = self.entity("alice", signal_name)
            await self.switch(entity, "on")
            await self.until(f"{signal_name} switched on: {presence}", lambda: self.shown()[entity] == "on"
                             and self.shown()["sensor.alice_presence"] == presence
                             and self.shown()["binary_sensor.alice_busy"] == busy)
            await self.switch(entity, "off")
            await self.until("and off", lambda: self.shown()[entity] == "off"
                             and self.shown()["sensor.alice_presence"] == "none")
        for label in HOSTILE:
            call, presence = self.entity(label, "call"), self.entity(label, "Presence")
            await self.switch(call, "on")
            await self.until(f"{label}: switched on, in a call", lambda: self.shown()[call] == "on"
                             and self.shown()[presence] == "In a call")
            others = [e for e, state in self.shown().items() if state == "In a call" and e != presence]
            assert not others, others
            await self.switch(call, "off")
            await self.until("and off", lambda: self.shown()[call] == "off" and self.shown()[presence] == "none")

    async def pause(self):
        await self.publish("pbx/1001", "INUSE")
        await self.shows(sensor__alice_presence="In a call")
        await self.switch("switch.alice_pause", "on")
        await self.shows(switch__alice_pause="on", sensor__alice_presence="none", binary_sensor__alice_busy="off")
        assert self.attribute("switch.alice_pause", "until") is None
        await self.switch("switch.alice_pause", "off")
        await self.shows(switch__alice_pause="off", sensor__alice_presence="In a call")
        await self.hass.services.async_call("script", "pause_alice", blocking=True)  # for two hours
        await self.shows(switch__alice_pause="on")
        await self.until("until when is told", lambda: self.attribute("switch.alice_pause", "until").startswith("20"))
        await self.switch("switch.alice_pause", "off")
        await self.shows(switch__alice_pause="off")
        await self.publish("pbx/1001", "NOT_INUSE")
        await self.shows(sensor__alice_presence="none")

    async def what_the_docs_say(self):
        await self.switch("switch.alice_call", "on")
        await self.until("the busy light is on", lambda: self.hass.states.get("light.alice_door").state == "on")
        await self.switch("switch.alice_call", "off")
        await self.until("the busy light is off", lambda: self.hass.states.get("light.alice_door").state == "off")
        named = set(re.findall(r"\b(?:sensor|binary_sensor|switch|script|light)\.alice_\w+|\bscript\.\w+", DOCS))
        assert len(named) > 5, named
        assert not (missing := [name for name in named if not self.hass.states.get(name)]), missing

    async def bridge_itself(self):
        await self.shows(binary_sensor__bridge_under_test_connectivity="on", sensor__bridge_under_test_alarms="0")
        links = self.attribute(BRIDGE[0], "links")
        assert [link["state"] for link in links] == ["up"], links
        assert self.attribute(BRIDGE[1], "alarms") == []
        assert self.attribute(BRIDGE[0], "version")
        assert float(self.shown()[BRIDGE[2]]) >= 0

    async def alarm(self):
        """The status as the bridge says it while something is wrong."""
        status = {"state": "online", "version": "0", "links": [], "calls_per_minute": 7,
                  "alarms": [{"alarm": "no_such_user", "about": f"u{n}", "remedy": "correct the object id"} for n in range(30)]}
        await self.publish("presence-bridge/status/bridge-under-test", json.dumps(status))
        await self.shows(sensor__bridge_under_test_alarms="30", sensor__bridge_under_test_calls_per_minute="7")
        await self.until("the first of them are told", lambda: self.attribute(BRIDGE[1], "alarms") == status["alarms"][:20])

    async def end(self, how):
        # Home Assistant forbids waiting in its loop.
        await asyncio.get_running_loop().run_in_executor(None, self.bridge.end, how)

    async def gone(self, how):
        at_stake = [e.entity_id for e in self.ours() if e.entity_id != BRIDGE[0]]
        await self.end(how)
        await self.until(f"{how.name}: all are unavailable", lambda: all(self.shown()[e] == "unavailable" for e in at_stake))
        await self.shows(binary_sensor__bridge_under_test_connectivity="off")

    async def has_changed(self, new, gone):
        names = lambda: {device.name for device in self.devices.devices.values()}
        await self.until(f"{new} is there, {gone} is not", lambda: new in names() and gone not in names())
        await self.everything_is_there()
        await self.devices_are_right()

    async def changes(self):
        """People and signals come and go, under the bridge and while it is away."""
        del self.bridge.people["bob"], self.bridge.signals["at_desk"]
        self.bridge.people["carol"] = "44444444-4444-4444-8444-444444444444"
        self.bridge.signals["focus"] = "DoNotDisturb/Presenting"
        self.bridge.write()
        await self.has_changed("carol", "bob")
        assert "switch.alice_at_desk" not in self.shown()
        await self.end(signal.SIGTERM)
        await self.shows(sensor__carol_presence="unavailable")
        del self.bridge.people["carol"], self.bridge.signals["focus"]
        self.bridge.people["bob"] = BOB
        self.bridge.start()
        await self.has_changed("bob", "carol")
        await self.end(signal.SIGTERM)
        self.bridge.discovery = False
        self.bridge.start()
        await self.until("switched off: nothing is left", lambda: not self.ours() and not self.devices.devices)


async def check(bridge, complaints):
    hass = await home_assistant(bridge.port)
    try:
        check = Check(hass, bridge)
        await check.everything_is_there()
        await check.devices_are_right()
        ids = {entity.entity_id: entity.unique_id for entity in check.ours()}
        await check.bridge_itself()
        await check.phone()
        await check.switches()
        await check.pause()
        await check.what_the_docs_say()
        await check.alarm()
        await check.gone(signal.SIGKILL)
        bridge.start()
        await check.everything_is_there()
        await check.bridge_itself()
        assert ids == {entity.entity_id: entity.unique_id for entity in check.ours()}, "ids are not stable"
        await check.phone()
        await check.gone(signal.SIGTERM)
        bridge.start()
        await check.everything_is_there()
        await check.changes()
        assert not complaints.found, "Home Assistant complains:\n" + "\n".join(complaints.found)
        print(f"Home Assistant: {check.passed} conditions hold, no complaint in its log")
    except BaseException:
        print("\n".join(complaints.found), file=sys.stderr)
        raise
    finally:
        await hass.async_stop(force=True)


def main():
    port, complaints = free_port(), Complaints()
    (DIR / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    with (DIR / "mosquitto.log").open("w") as log:
        mosquitto = subprocess.Popen([MOSQUITTO, "-c", DIR / "mosquitto.conf"], stdout=log, stderr=log)
    bridge = Bridge(port)
    logging.getLogger().addHandler(complaints)
    try:
        hang_a_light(port)
        bridge.start()  # before Home Assistant: all that it finds is retained
        asyncio.run(check(bridge, complaints))
    except Exception:  # here, since Home Assistant puts an excepthook of its own into the interpreter
        traceback.print_exc()
        for line in (DIR / "bridge.log").read_text().splitlines()[-20:]:
            print(f"  bridge: {line}", file=sys.stderr)
        return 1
    finally:
        bridge.end(signal.SIGKILL)
        mosquitto.terminate()
        mosquitto.wait(20)
    return 0


sys.stdout.reconfigure(line_buffering=True)
code = main()
# Threads of Home Assistant's do not end by themselves.
sys.stdout.flush()
os._exit(code)
