"""An event with a limit, on both interpreters: set before, meanwhile, too late, and together with a cancel."""

import asyncio

from mqtt.flag import Flag


async def _soon(call):
    await asyncio.sleep(0.01)
    call()


def _run(make):
    """What `make(flag)` gives, which has 10 s for it."""

    async def main():
        return await asyncio.wait_for(make(Flag()), 10)

    return asyncio.run(main())


def test_one_that_is_set_is_not_waited_for_and_is_clear_afterwards():
    async def job(flag):
        flag.set()
        flag.set()
        return await flag.wait(5000), flag.is_set(), await flag.wait(1)

    assert _run(job) == (True, False, False)


def test_it_is_set_while_somebody_waits():
    async def job(flag):
        setter = asyncio.create_task(_soon(flag.set))
        found = await flag.wait(5000)
        await setter
        return found

    assert _run(job) is True


def test_without_a_limit_it_waits_too():
    async def job(flag):
        setter = asyncio.create_task(_soon(flag.set))
        found = await flag.wait()
        await setter
        return found

    assert _run(job) is True


def test_a_limit_ends_it_and_clear_takes_it_back():
    async def job(flag):
        flag.set()
        flag.clear()
        return await flag.wait(0), await flag.wait(10), flag.is_set()

    assert _run(job) == (False, False, False)


def test_who_waits_for_nothing_leaves_time_to_others():
    async def job(flag):
        seen = []
        other = asyncio.create_task(_soon(lambda: seen.append(1)))
        while not seen:
            flag.set()
            await flag.wait(0)
        await other
        return seen

    assert _run(job) == [1]


def test_a_cancel_ends_it_whatever_is_set_with_it():
    async def wait(flag, said):
        try:
            await flag.wait(5000)
            said.append("went on")
        except asyncio.CancelledError:
            said.append("cancelled")
            raise

    async def job(flag):
        said = []
        for how in ("cancel", "cancel, set", "cancel, set, set"):
            task = asyncio.create_task(wait(flag, said))
            await asyncio.sleep(0.01)
            task.cancel()
            for _ in range(how.count("set")):
                flag.set()
            try:
                await task
            except asyncio.CancelledError:
                pass
            flag.clear()
        return said

    assert _run(job) == ["cancelled"] * 3


def test_set_wakes_nobody_who_waits_for_something_else_by_now():
    async def job(flag):
        waiter = asyncio.create_task(flag.wait(1))
        await waiter
        slept = []

        async def sleep():
            await flag.wait(1)
            await asyncio.sleep(0.05)
            slept.append(1)

        task = asyncio.create_task(sleep())
        await asyncio.sleep(0.02)
        flag.set()
        await asyncio.sleep(0.001)
        early = list(slept)
        await task
        return early, slept, flag.is_set()

    assert _run(job) == ([], [1], True)
