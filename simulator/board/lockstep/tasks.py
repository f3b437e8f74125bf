"""asyncio's tasks on the board's own clock: what the interpreter has in C, with ticks that wrap at 2**30.

The built-in queue compares with the host's clock and a period of 2**62. This one has the same interface, towards
asyncio/core.py, and keeps tasks of the same moment in the order in which they were queued.
"""


def make(ticks, ticks_diff):
    """(TaskQueue, Task) for sys.modules["_asyncio"]."""

    class TaskQueue:
        def __init__(self):
            self._tasks = []

        def peek(self):
            return self._tasks[0] if self._tasks else None

        def push(self, task, key=None):
            task.data = None
            task.ph_key = key = ticks() if key is None else key
            tasks = self._tasks
            place = len(tasks)
            while place and ticks_diff(tasks[place - 1].ph_key, key) > 0:
                place -= 1
            tasks.insert(place, task)

        def pop(self):
            return self._tasks.pop(0)

        def remove(self, task):
            self._tasks.remove(task)

    class Task:
        """state: True runs, None ended and nobody asked, False ended and asked, or the queue of those who wait."""

        def __init__(self, coro, scope=None):
            self.coro, self._scope = coro, scope
            self.data = None
            self.state = True
            self.ph_key = 0

        def __iter__(self):
            if not self.state:
                self.state = False
            elif self.state is True:
                self.state = TaskQueue()
            elif type(self.state) is not TaskQueue:
                raise RuntimeError("can't wait")
            return self

        def __next__(self):
            if not self.state:
                raise self.data
            waiting = self._scope["cur_task"]
            self.state.push(waiting)
            waiting.data = self

        def done(self):
            return not self.state

        def cancel(self):
            if not self.state:
                return False
            scope = self._scope
            if self is scope["cur_task"]:
                raise RuntimeError("can't cancel self")
            task = self
            while isinstance(task.data, Task):
                task = task.data
            queue = scope["_task_queue"]
            if hasattr(task.data, "remove"):
                task.data.remove(task)
                queue.push(task)
            elif ticks_diff(task.ph_key, ticks()) > 0:
                queue.remove(task)
                queue.push(task)
            task.data = scope["CancelledError"]
            return True

    return TaskQueue, Task
