import asyncio
import inspect
import threading

import gradio as gr
import pytest

from editor.errors import FaceError
from editor.ui.serving.gate import Gate
from editor.ui.turns import in_turn


def say(text):
    return ("kept", text)


async def all_of(answers, got=None):
    got = [] if got is None else got
    async for answer in answers:
        got.append(answer)
    return got


def test_without_a_wait_only_the_answer_comes():
    taking_turns = in_turn(Gate(), lambda *values: ("stage", str(values)), say)
    assert asyncio.run(all_of(taking_turns("photo", "token"))) == [("stage", "('photo', 'token')")]


def test_each_is_told_the_place_and_gets_its_own_answer_in_the_order_of_coming():
    gate, done, go_on = Gate(), [], threading.Event()

    def work(name):
        assert go_on.wait(10)
        done.append(name)
        return ("stage", name)

    async def crowd():
        got = {name: [] for name in "abcd"}
        tasks = []
        for place, name in enumerate(got):
            tasks.append(asyncio.create_task(all_of(in_turn(gate, work, say)(name), got[name])))
            while place and not got[name]:  # until the next may come
                await asyncio.sleep(0.01)
        assert [got[name] for name in "bcd"] == [
            [("kept", f"Waiting: {place} before you ...")] for place in (1, 2, 3)
        ]
        go_on.set()
        await asyncio.gather(*tasks)
        return got

    got = asyncio.run(crowd())
    assert done == list("abcd")
    assert got["a"] == [("stage", "a")]
    for name in "bcd":
        assert got[name][-2:] == [("kept", "It is your turn ..."), ("stage", name)]


def test_a_refusal_is_said_and_the_next_one_is_let_in():
    def refuse():
        raise FaceError("no face found")

    gate = Gate(most_waiting=0)
    for _ in range(2):
        answers = asyncio.run(all_of(in_turn(gate, refuse, say)()))
        assert answers == [("kept", "⚠ no face found. The last good result stays.")]
    with gate.passing():
        ((_, told),) = asyncio.run(all_of(in_turn(gate, refuse, say)()))
    assert "too much to do" in told


def test_the_place_of_a_page_that_has_gone_is_given_up():
    gate = Gate()

    async def visit():
        answers = in_turn(gate, lambda: pytest.fail("was done"), say)()
        await anext(answers)
        await answers.aclose()

    with gate.passing():
        asyncio.run(visit())
        while any(thread.name == "<lambda>" for thread in threading.enumerate()):
            pass
    with gate.passing(tell=lambda ahead: pytest.fail("somebody is before us")):
        pass


def test_gradio_sees_the_arguments_that_it_fills_in_itself():
    def handler(token: str, chosen: gr.SelectData, action: str | None = None):
        return ()

    taking_turns = in_turn(Gate(), handler, say)
    assert inspect.isasyncgenfunction(taking_turns)
    assert [name for name, *_ in gr.utils.get_function_params(taking_turns)] == ["token", "action"]
