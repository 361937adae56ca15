#!/usr/bin/env python3
"""Hands its arguments to `nearlite backfill`, so that the command line of the original script works as it did."""
import os, pathlib, shutil, sys  # noqa: E401

here = pathlib.Path(__file__).resolve().parent
places = [here.parent / "build" / "release" / "bin" / "nearlite", here / "nearlite"]
program = next((str(place) for place in places if os.access(place, os.X_OK)), None) or shutil.which("nearlite")
if program is None:
    sys.exit("nearlite was not found in build/release/bin, beside this script or on PATH; ./dev build makes it")
sys.stdout.flush()
os.execv(program, [program, "backfill", *sys.argv[1:]])
