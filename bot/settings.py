"""Settings: ``config/default.toml``, then one TOML file, then the environment, into frozen values.

Every key is defined once, as a field of a section's struct in the package that
uses it; this module only finds the values and says clearly what is wrong with
them. ``FUNDARB_RISK__MAX_DRAWDOWN=0.1`` sets ``max_drawdown`` of ``[risk]``.
"""

import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bot.config_files import config_file
from bot.events_file import EventsError, read_events
from bot.transport import endpoints
from execution.pairs import ExecutionPolicy
from execution.risk.calendar import Event
from execution.risk.limits import RiskLimits
from execution.venues.simulated.gateway import Latency
from strategies.breakout import BreakoutPolicy
from strategies.carry.policy import CarryPolicy
from strategies.hedge import HedgePolicy
from strategies.mean_reversion import MeanReversionPolicy
from strategies.scaling import ScalingPolicy

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

PREFIX: Final = "FUNDARB_"
ENVIRONMENT: Final = "environment"
_SECRET_NAME = re.compile(
    r"secret|private|passw|passphrase|mnemonic|seed_?phrase|api_?key|agent_?key|token",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"\s*(0x)?[0-9a-fA-F]{64}\s*")
_DIGITS_MAX = 30
_SENTENCE_MAX = 300
_WORDS = {
    "float": "a number",
    "decimal": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "a table",
}


class SettingsError(ValueError):
    """A setting is unknown or wrong. One sentence: which key, where it is, what to do."""


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run begins with."""

    capital: Decimal = Decimal(10_000)
    """USDC at the start, unless ``--capital`` says otherwise."""
    inventory: str = ""
    """Coins besides, in paper and backtest: ``HYPE:50, UBTC:0.1``."""

    def __post_init__(self) -> None:
        if self.capital <= 0:
            raise ValueError(f"capital: must be positive, got {self.capital}")
        _ = self.coins

    @property
    def coins(self) -> dict[str, Decimal]:
        """The inventory by token.

        Raises:
            ValueError: it is not a list of tokens and quantities.
        """
        found: dict[str, Decimal] = {}
        for part in filter(None, (part.strip() for part in self.inventory.split(","))):
            if not (
                match := re.fullmatch(r"([A-Za-z0-9]{1,20}):([0-9]{1,18}(\.[0-9]{1,12})?)", part)
            ):
                raise ValueError(f"inventory: {part[:60]!r} is no token and quantity, like HYPE:50")
            if match[1] in found:
                raise ValueError(f"inventory: {match[1]} is named twice")
            found[match[1]] = Decimal(match[2])
        return found


class Calendar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known to be ahead."""

    file: str = ""
    """A table of events of your own, instead of the ``config/events.toml`` that ships."""


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where Prometheus reads."""

    port: int = 9464
    """On the loopback address only; 0 opens no port."""
    watchdog_port: int = 9465
    """The same, of `fundarb watchdog`."""

    def __post_init__(self) -> None:
        for name in ("port", "watchdog_port"):
            if not 0 <= getattr(self, name) <= 65_535:
                raise ValueError(f"{name}: must be between 0 and 65535, got {getattr(self, name)}")


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `fundarb notify` tells a person, and how often."""

    repeat_minutes: int = 30
    """The same trouble is told again only after so long."""
    per_hour_max: int = 20
    """More than so many that are not critical become one summary."""
    digest_hour: int = 7
    """When the day's digest goes out, UTC; 24 never."""
    port: int = 9466
    """Where Alertmanager delivers, on the loopback address; 0 opens no port."""

    def __post_init__(self) -> None:
        if self.repeat_minutes < 1:
            raise ValueError(f"repeat_minutes: must be at least 1, got {self.repeat_minutes}")
        if self.per_hour_max < 1:
            raise ValueError(f"per_hour_max: must be at least 1, got {self.per_hour_max}")
        if not 0 <= self.digest_hour <= 24:
            raise ValueError(f"digest_hour: must be between 0 and 24, got {self.digest_hour}")
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port: must be between 0 and 65535, got {self.port}")


class Telegram(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may ask and pause by Telegram (`--telegram` of `fundarb notify`)."""

    read: str = ""
    """Ids of users who may ask, with commas between; everybody else is ignored."""
    control: str = ""
    """Ids of users who may pause the bot too."""
    url: str = ""
    """Where the Bot API is: no address of another host is a default."""

    def __post_init__(self) -> None:
        for name in ("read", "control"):
            if not re.fullmatch(r"\s*(\d{1,19}\s*(,\s*\d{1,19}\s*)*)?", getattr(self, name)):
                raise ValueError(f"{name}: must be numbers with commas between, as 123456, 789012")
        try:
            if self.url:
                endpoints(self.url)
        except ValueError:
            raise ValueError("url: must be https:// and a host, without a path") from None

    @property
    def readers(self) -> tuple[int, ...]:
        return _ids(self.read)

    @property
    def controllers(self) -> tuple[int, ...]:
        return _ids(self.control)


def _ids(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


class LivePermission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where real orders may go at all. The command has to say the same."""

    network: str = "none"
    """The first of two switches; --testnet or --mainnet is the second."""

    def __post_init__(self) -> None:
        if self.network not in ("none", "testnet", "mainnet"):
            raise ValueError(f"network: must be none, testnet or mainnet, got {self.network!r}")


class Web(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bot's page and the interface behind it."""

    port: int = 8787
    """Of the page, on ``host``; 0 opens none. The command line needs no port."""
    host: str = "127.0.0.1"
    """The address to listen on; one beyond this machine needs ``public_url``."""
    public_url: str = ""
    """The https address at which the page is reached, by a reverse proxy or by ``tls_file``."""
    tls_file: str = ""
    """PEM file with certificate chain and key, to encrypt here and not in a proxy."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port: must be between 0 and 65535, got {self.port}")
        try:
            loopback = ip_address(self.host).is_loopback
        except ValueError:
            raise ValueError(f"host: must be an IP address, got {self.host[:60]!r}") from None
        if self.public_url and not re.fullmatch(
            r"https://[A-Za-z0-9.-]{1,200}(:[0-9]{1,5})?/?", self.public_url
        ):
            raise ValueError("public_url: must be https:// and a host, without a path")
        if not loopback and not self.public_url:
            raise ValueError(
                f"host: {self.host} is beyond this machine: set public_url to the https:// address "
                "of the reverse proxy in front, or of this machine with tls_file"
            )


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it, a section a part. Each part of the program is handed only its own.

    ``events`` are those of the calendar's file; whoever makes settings without ``load`` has none.
    """

    account: Account = Account()
    strategy: CarryPolicy = CarryPolicy()
    hedge: HedgePolicy = HedgePolicy()
    mean_reversion: MeanReversionPolicy = MeanReversionPolicy()
    breakout: BreakoutPolicy = BreakoutPolicy()
    scaling: ScalingPolicy = ScalingPolicy()
    risk: RiskLimits = RiskLimits()
    calendar: Calendar = Calendar()
    execution: ExecutionPolicy = ExecutionPolicy()
    paper: Latency = Latency()
    metrics: Metrics = Metrics()
    notify: Notify = Notify()
    telegram: Telegram = Telegram()
    live: LivePermission = LivePermission()
    web: Web = Web()
    events: tuple[Event, ...] = ()


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and where each is from: ``origins["risk.max_drawdown"]`` is a file or variable."""

    settings: Settings
    origins: dict[str, str]


SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    field.name: field.type for field in msgspec.structs.fields(Settings) if field.name != "events"
}

DECIDING: Final = tuple(
    name
    for name in SECTIONS
    if name not in {"account", "calendar", "metrics", "notify", "telegram", "live", "web"}
)
"""The sections that decide what is traded."""


def load(path: Path | None = None) -> Loaded:
    """Read the defaults, then ``path``, then the environment; the later wins, key by key.

    Raises:
        SettingsError: an unknown key, a value of the wrong kind or out of range,
            an unreadable file, or a secret in a file.
    """
    found: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origins: dict[str, str] = {}
    for origin, layer in _layers(path):
        for section, key, value in known(origin, layer):
            found[section][key] = _read(section, key, value) if origin == ENVIRONMENT else value
            origins[f"{section}.{key}"] = _place(origin, section, key)
    parts: dict[str, Any] = {
        section: _converted(section, found[section], origins) for section in SECTIONS
    }
    return Loaded(Settings(**parts, events=_events(parts["calendar"].file, origins)), origins)


def _events(file: str, origins: dict[str, str]) -> tuple[Event, ...]:
    try:
        return read_events(Path(file).expanduser() if file else None)
    except EventsError as error:
        place = origins["calendar.file"]
        raise SettingsError(f"{place}: calendar.file: {_short(error)}") from None


def digest(settings: Settings) -> str:
    """SHA-256 of all that decides what is traded: it tells two runs of one seed apart.

    Capital and network are recorded and compared by themselves, and pages and messages decide
    nothing.
    """
    deciding = {
        section: {key: _canonical(value) for key, value in entries(settings, section).items()}
        for section in DECIDING
    }
    deciding["events"] = msgspec.to_builtins(settings.events)
    return hashlib.sha256(msgspec.json.encode(deciding, order="deterministic")).hexdigest()


def entries(settings: Settings, section: str) -> dict[str, Any]:
    """The keys and values of one section, in the order of its definition."""
    part = getattr(settings, section)
    return {key: getattr(part, key) for key in part.__struct_fields__}


def altered(settings: Settings, values: Mapping[str, int | float], origin: str) -> Settings:
    """``settings`` with some set otherwise, by ``section.key``; ``origin`` is who says so.

    Raises:
        SettingsError: as ``load`` does of a value that is out of range or fits no other.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        found.setdefault(section, entries(settings, section))[key] = value
    origins = dict.fromkeys(values, origin)
    parts = {section: _converted(section, part, origins) for section, part in found.items()}
    return msgspec.structs.replace(settings, **parts)


def as_toml(settings: Settings) -> str:
    """The settings that are not the defaults, as a file that ``load`` reads."""
    import tomlkit

    document = tomlkit.document()
    for section in SECTIONS:
        usual = entries(Settings(), section)
        table = tomlkit.table()
        for key, value in entries(settings, section).items():
            if value != usual[key]:
                table.add(key, _plain_value(value))
        if table:
            document.add(section, table)
    return tomlkit.dumps(document)


def kind_of(section: str, key: str) -> Any:
    """The type of a setting."""
    return {field.name: field.type for field in msgspec.structs.fields(SECTIONS[section])}[key]


def _plain_value(value: Any) -> Any:
    """A number as TOML has it: whole, or a float of the same digits."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _canonical(value: Any) -> Any:
    """One spelling for equal numbers: 10000, 1E+4 and 10000.0 are one setting."""
    if isinstance(value, Decimal | float | int) and not isinstance(value, bool):
        return format(Decimal(repr(value) if isinstance(value, float) else value).normalize(), "f")
    return msgspec.to_builtins(value)


@cache
def _model() -> "type[BaseSettings]":
    """What the settings library needs to know: the sections. Their keys are ours to judge."""
    from pydantic import create_model
    from pydantic_settings import BaseSettings, SettingsConfigDict

    class Base(BaseSettings):
        model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")

    fields: dict[str, Any] = {section: (dict[str, Any], {}) for section in SECTIONS}
    return create_model("Sections", __base__=Base, **fields)


def _layers(path: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

    model = _model()
    for file in (config_file("default.toml"), path):
        if file is None:
            continue
        if not file.is_file():
            raise SettingsError(f"no settings file {str(file)!r}: `fundarb config init` writes one")
        try:
            yield str(file), TomlConfigSettingsSource(model, toml_file=file)()
        except (ValueError, RecursionError) as error:  # of the reader: also a number without end
            raise SettingsError(f"{file}: not valid TOML: {_short(error)}") from None
        except OSError as error:
            raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    _refuse_unknown_variables()
    yield ENVIRONMENT, EnvSettingsSource(model)()


def _refuse_unknown_variables() -> None:
    """The library reads only the variables it knows; a misspelt one must not pass in silence."""
    for name in sorted(os.environ):
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if name.startswith(PREFIX) and not (name + os.environ[name]).isprintable():
            raise SettingsError(f"environment variable {name!a} is not plain text")
        if name.startswith(PREFIX) and (section not in SECTIONS or not separator or not key):
            raise SettingsError(
                f"environment variable {name} sets nothing: names are {PREFIX}SECTION__KEY, "
                f"with the sections {', '.join(SECTIONS)}"
            )


def known(origin: str, layer: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Every (section, key, value) of one layer, or the one sentence about what is wrong."""
    for section, table in layer.items():
        try:
            _refuse_secret(origin, section, table)
        except RecursionError:
            raise SettingsError(f"{origin}: {_short(section)} is nested without end") from None
        if section not in SECTIONS:
            what = "section" if isinstance(table, dict) else "key"
            name = _short(repr(section))
            raise SettingsError(f"{origin}: unknown {what} {name}{_nearest(section)}")
        if not isinstance(table, dict):
            raise SettingsError(f"{origin}: {section!r} is a section: write [{section}] over it")
        for key, value in table.items():
            if key not in SECTIONS[section].__struct_fields__:
                name, place = f"{section}.{key}", _place(origin, section, key)
                unknown = _short(repr(name))
                raise SettingsError(f"{place}: unknown key {unknown}{_nearest(name)}")
            yield section, key, value


def _refuse_secret(origin: str, key: str, value: Any) -> None:
    if isinstance(value, dict):
        for inner, content in value.items():
            _refuse_secret(origin, inner, content)
    if _SECRET_NAME.search(key) or (isinstance(value, str) and _SECRET_VALUE.fullmatch(value)):
        raise SettingsError(
            f"{origin}: {_short(repr(key))} looks like a secret: no secret belongs in settings, "
            "remove it (and replace it, if others could read the file)"
        )


def _nearest(name: str) -> str:
    """A hint: the valid key most like ``name``, in its own section or in another."""
    keys = [
        f"{section}.{key}" for section, kind in SECTIONS.items() for key in kind.__struct_fields__
    ]
    section, _, key = name.partition(".")
    elsewhere = [valid for valid in keys if key and valid.partition(".")[2] == key]
    near = elsewhere or difflib.get_close_matches(name, keys if key else [*SECTIONS, *keys], n=1)
    if not near and not key:
        near = [valid for valid in keys if valid.partition(".")[2] == section]
    return f"; did you mean {near[0]!r}?" if near else ""


def _place(origin: str, section: str, key: str) -> str:
    """Where a person finds the value: the file, or the variable's own name."""
    return f"{PREFIX}{section}__{key}".upper() if origin == ENVIRONMENT else origin


def _read(section: str, key: str, text: Any) -> Any:
    """A variable is always text: what its setting makes of it, or the text for the complaint."""
    try:
        return msgspec.convert(text, kind_of(section, key), strict=False)
    except (msgspec.ValidationError, InvalidOperation):
        return text


def _converted(section: str, found: dict[str, Any], origins: dict[str, str]) -> msgspec.Struct:
    _refuse_endless(section, found, origins)
    try:
        part = msgspec.convert(found, SECTIONS[section])
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        keys = re.split(r"[.\[`]", path)[:1] if path else re.findall(r"\w+", message)
        raise SettingsError(_wrong(section, keys, _plain(message), origins)) from None
    except ArithmeticError:
        raise SettingsError(_wrong(section, [], "holds a number that is none", origins)) from None
    _refuse_endless(section, msgspec.structs.asdict(part), origins)
    return part


def _refuse_endless(section: str, values: dict[str, Any], origins: dict[str, str]) -> None:
    """No number beyond what sums and products of money can bear (``domain.money.EXACT``)."""
    for key, value in values.items():
        if isinstance(value, int | float | Decimal):
            number = Decimal(str(value) if isinstance(value, float) else value)
            digits = len(number.as_tuple().digits)
            if not number.is_finite() or max(digits, abs(number.adjusted())) > _DIGITS_MAX:
                what = f"must be a finite number of at most {_DIGITS_MAX} digits"
                raise SettingsError(_wrong(section, [key], what, origins))


def _wrong(section: str, words: Sequence[str], what: str, origins: dict[str, str]) -> str:
    """The sentence, led by where to correct it: at the key that somebody set, of those named."""
    keys = [word for word in words if word in SECTIONS[section].__struct_fields__]
    defaults = str(config_file("default.toml"))
    places = [origins.get(f"{section}.{key}", defaults) for key in keys] or [defaults]
    place = next((place for place in places if place != defaults), places[0])
    name = f"{section}.{keys[0]}" if keys else f"[{section}]"
    what = _short(what.removeprefix(f"{keys[0]}: ") if keys else what)
    return f"{place}: {name}: {what}"


def _short(what: object) -> str:
    """A sentence quotes what it is about, which may be a megabyte."""
    text = " ".join(str(what).split())
    return text if len(text) <= _SENTENCE_MAX else f"{text[:_SENTENCE_MAX]}..."


def _plain(message: str) -> str:
    """The library's words in ours: Expected `float`, got `str` → expected a number, got text."""
    if message == "Invalid decimal string":
        return "expected a number, got text"
    words = re.sub(r"`(\w+)`", lambda match: _WORDS.get(match[1], match[1]), message)
    return words[0].lower() + words[1:]
