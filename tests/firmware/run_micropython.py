# Runs one test file of tests/firmware under the real MicroPython: micropython run_micropython.py FIRMWARE_DIR FILE
# Every function named test_* is called; a failure prints its traceback; exit code 1 when one failed.
import sys

firmware_dir, path = sys.argv[1], sys.argv[2]
here, name = path.rsplit("/", 1)
sys.path[:] = [firmware_dir, here, ".frozen"]
module = __import__(name[:-3])
passed = failed = 0
for attribute in sorted(dir(module)):
    if not attribute.startswith("test_"):
        continue
    try:
        getattr(module, attribute)()
        passed += 1
    except Exception as error:
        failed += 1
        print("FAILED " + name + "::" + attribute)
        sys.print_exception(error)
print("%d passed, %d failed" % (passed, failed))
if failed or not passed:
    sys.exit(1)
