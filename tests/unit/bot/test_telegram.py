"""Who is answered on Telegram, what is obeyed, and what becomes of an API that says no."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.settings import Telegram
from bot.telegram import HELP, Api, Listener, token_in
from domain.time import SECOND
from tests.unit.bot.bot_api import TOKEN, BotApi, bot_api, refusal

READER, CONTROLLER, STRANGER = 111, 222, 333
NOW = 1_760_000_000


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def _note(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    info = warning = _note


class Bot:
    """A listener whose clock stands still until it is told to wait, and what it was told to do."""

    def __init__(self, api: BotApi, url: str, token: str = TOKEN) -> None:
        self.api, self.log = api, Log()
        self.obeyed: list[tuple[str, str, str]] = []
        self.slept: list[float] = []
        self.says = "done"
        self.now = float(NOW)
        self.listener = Listener(
            Api(url, token),
            (READER,),
            (CONTROLLER,),
            self._obey,
            lambda: int(self.now * SECOND),
            lambda ns: self.slept.append(ns / SECOND),
            self.log,
            [TOKEN, TOKEN.split(":")[1]],
        )

    def _obey(self, verb: str, argument: str, actor: str) -> str:
        self.obeyed.append((verb, argument, actor))
        return self.says

    def hears(self, sender: int, text: str, date: float | None = None, **more: Any) -> list[str]:
        """What is answered to one message."""
        message = {"date": int(self.now if date is None else date), "text": text}
        message |= {"from": {"id": sender}, "chat": {"id": sender}} | more
        before = len(self.api.sent)
        self.api.put({"message": message})
        self.listener.step()
        return [said for _, said in self.api.sent[before:]]


@pytest.fixture
def bot() -> Iterator[Bot]:
    with bot_api() as (api, url):
        yield Bot(api, url)


@pytest.mark.parametrize(
    ("text", "verb", "argument"),
    [
        ("/status", "status", ""),
        ("/Positions", "positions", ""),
        ("/why hype", "why", "HYPE"),
        ("/why@fundarb_bot HYPE#1 ", "why", "HYPE#1"),
    ],
)
def test_who_is_listed_may_ask(bot: Bot, text: str, verb: str, argument: str) -> None:
    assert bot.hears(READER, text) == ["done"]
    assert bot.obeyed == [(verb, argument, f"telegram:{READER}")]


def test_a_pause_is_for_those_who_may_control(bot: Bot) -> None:
    (refused,) = bot.hears(READER, "/pause")
    assert refused.startswith("you may only read")
    assert bot.obeyed == []

    assert bot.hears(CONTROLLER, "/pause") == ["done"]
    assert bot.obeyed == [("pause", "", f"telegram:{CONTROLLER}")]


@pytest.mark.parametrize(
    "text", ["/kill", "/flatten", "/resume", "/pause now", "pause", "/", "/why"]
)
def test_nothing_else_is_obeyed(bot: Bot, text: str) -> None:
    assert bot.hears(CONTROLLER, text) == [HELP]
    assert bot.obeyed == []


def test_a_message_without_words_or_without_a_sender_is_no_command(bot: Bot) -> None:
    assert bot.hears(CONTROLLER, "") == [HELP]
    bot.api.put({"edited_message": {"date": NOW}})
    bot.api.put({"message": {"date": NOW, "chat": {"id": READER}}})
    bot.listener.step()

    assert bot.obeyed == []
    assert len(bot.api.sent) == 1


def test_strangers_are_not_answered_and_are_counted(bot: Bot) -> None:
    for number in range(1, 9):
        assert bot.hears(STRANGER, "/status") == []
        assert bot.listener.strangers == number

    assert bot.obeyed == []
    told = [fields["messages"] for event, fields in bot.log.lines if event == "telegram_stranger"]
    assert told == [1, 2, 4, 8]  # a flood of messages is none of the log


def test_a_flood_of_long_messages_does_not_keep_out_who_may_pause(bot: Bot) -> None:
    """A hundred at once would be megabytes, as the API escapes them: never read, never passed."""
    long = {"date": NOW, "text": "\N{GRINNING FACE}" * 2_048, "chat": {"id": STRANGER}}
    long |= {"from": {"id": STRANGER}, "reply_to_message": dict(long)}
    for _ in range(100):
        bot.api.put({"message": long})
    pause = {"date": NOW, "text": "/pause", "from": {"id": CONTROLLER}, "chat": {"id": CONTROLLER}}
    bot.api.put({"message": pause})
    for _ in range(11):
        bot.listener.step()

    assert [verb for verb, _, _ in bot.obeyed] == ["pause"]
    assert bot.listener.strangers == 100


def test_in_a_group_nobody_is_answered(bot: Bot) -> None:
    assert bot.hears(CONTROLLER, "/pause", chat={"id": -100_500}) == []
    assert bot.obeyed == []
    assert bot.listener.strangers == 1


def test_what_was_sent_before_the_start_is_not_acted_upon(bot: Bot) -> None:
    assert bot.hears(CONTROLLER, "/pause", NOW - 1) == []
    assert bot.obeyed == []


def test_what_takes_longer_than_a_minute_is_told_and_not_acted_upon(bot: Bot) -> None:
    bot.now += 3600
    assert bot.hears(CONTROLLER, "/pause", bot.now - 60) == ["done"]
    (late,) = bot.hears(CONTROLLER, "/pause", bot.now - 61)

    assert late.startswith("this took 61 s to arrive")
    assert len(bot.obeyed) == 1


def test_each_update_is_dealt_with_once_and_confirmed_by_the_next_question(bot: Bot) -> None:
    bot.hears(READER, "/status")
    bot.listener.step()
    bot.listener.step()

    assert bot.api.unconfirmed() == 0
    assert len(bot.obeyed) == 1
    assert [asked["offset"] for asked in bot.api.asked] == [0, 101, 101]
    assert all(asked["allowed_updates"] == ["message"] for asked in bot.api.asked)


def test_what_cannot_be_answered_is_not_obeyed_again(bot: Bot) -> None:
    def broken(*_: str) -> str:
        raise LookupError("a defect")

    bot.listener._obey = broken
    with pytest.raises(LookupError):
        bot.hears(CONTROLLER, "/pause")
    bot.listener._obey = bot._obey
    bot.listener.step()

    assert bot.obeyed == []


def test_another_program_with_the_token_is_told_of_once_and_waited_for(bot: Bot) -> None:
    bot.api.poll_elsewhere(on=True)
    for _ in range(3):
        bot.listener.step()
    bot.api.poll_elsewhere(on=False)

    assert [event for event, _ in bot.log.lines] == ["telegram_silent"]
    assert bot.log.lines[0][1]["detail"].startswith("409 Conflict: terminated by other getUpdates")
    assert bot.slept == [5.0] * 3
    assert bot.hears(READER, "/status") == ["done"]


def test_telegram_is_left_alone_for_as_long_as_it_says(bot: Bot) -> None:
    bot.api.refusals = [refusal(429, "Too Many Requests: retry after 17", 17)]
    bot.listener.step()
    bot.api.refusals = [refusal(429, "Too Many Requests: retry after 99999", 99_999)]
    bot.listener.step()

    assert bot.slept == [17.0, 300.0]


def test_an_answer_that_is_refused_for_the_moment_is_sent_later(bot: Bot) -> None:
    bot.api.put({"message": {"date": NOW, "text": "/status", "chat": {"id": READER},
                             "from": {"id": READER}}})  # fmt: skip
    updates = bot.listener._api.updates(0)
    bot.api.refusals = [refusal(429, "Too Many Requests: retry after 7", 7)]
    message = updates[0].message
    assert message is not None
    bot.listener._hear(message)

    assert bot.slept == [7.0]
    assert bot.api.sent == [(READER, "done")]


@pytest.mark.parametrize(
    "body", [b"", b"<html>502</html>", b"[]", b'{"ok": true}', b'{"ok": true, "result": [{}]}']
)
def test_an_answer_that_is_none_is_waited_out(bot: Bot, body: bytes) -> None:
    bot.api.refusals = [{"raw": body}]
    bot.listener.step()

    assert bot.slept == [5.0]
    assert bot.hears(READER, "/status") == ["done"]


def test_nobody_there_is_waited_out_and_the_token_is_not_told() -> None:
    with bot_api() as (api, url):
        bot = Bot(api, url)
    bot.listener.step()
    with bot_api() as (api, url):
        wrong = Bot(api, url, TOKEN[:-1] + "Z")
        wrong.listener.step()

    assert bot.slept == wrong.slept == [5.0]
    assert wrong.log.lines[0][1]["detail"] == "401 Unauthorized"
    assert TOKEN[:-1] not in repr(bot.log.lines) + repr(wrong.log.lines)


def test_an_answer_is_text_whatever_stands_in_it(bot: Bot) -> None:
    bot.says = "*HYPE_PURR* <b>[x](http://y)</b> 🚀 –"

    assert bot.hears(READER, "/status") == [bot.says]  # the API checks what is said to be what


def test_no_answer_holds_a_secret_and_none_is_longer_than_telegram_takes(bot: Bot) -> None:
    bot.says = f"the token is {TOKEN}, or {TOKEN[15:27]}; key 0x{'5e' * 32}; " + "x" * 9000
    (said,) = bot.hears(READER, "/status")

    assert len(said) <= 4096
    assert "5e" * 8 not in said
    assert not [n for n in range(len(TOKEN) - 7) if TOKEN[n : n + 8] in said]


def test_a_key_in_a_question_is_not_in_the_log(bot: Bot) -> None:
    bot.hears(READER, f"/why 0x{'5e' * 32}")

    assert "5e" * 8 not in repr(bot.log.lines).lower()


# --- who may, and the token ------------------------------------------------------------------


def test_ids_are_numbers_with_commas_between() -> None:
    who = Telegram(read=" 1, 22 ,333 ", control="4")

    assert (who.readers, who.controllers) == ((1, 22, 333), (4,))
    assert Telegram().readers == ()


@pytest.mark.parametrize("text", ["@name", "1,,2", "-5", "1;2", "1.5", ",", "9" * 30])
def test_whatever_else_stands_there_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be numbers"):
        Telegram(control=text)


@pytest.mark.parametrize("url", ["http://api.telegram.org", "https://x/path", "ftp://x", "x"])
def test_the_api_is_asked_over_an_encrypted_wire_alone(url: str) -> None:
    with pytest.raises(ValueError, match="url: must be https"):
        Telegram(url=url)


def test_the_token_is_in_a_file_of_its_owners_alone_and_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "telegram.token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    assert token_in(str(file)) == TOKEN

    file.chmod(0o640)
    with pytest.raises(ValueError, match="chmod 600"):
        token_in(str(file))
    file.chmod(0o600)
    file.write_text(f"token = {TOKEN}")
    with pytest.raises(ValueError, match="holds no token") as told:
        token_in(str(file))
    assert TOKEN[11:] not in str(told.value)
    with pytest.raises(ValueError, match="this is a token") as told:
        token_in(f"./{TOKEN}")
    assert TOKEN[11:] not in str(told.value)
