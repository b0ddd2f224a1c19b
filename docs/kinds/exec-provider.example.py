#!/usr/bin/env python3
"""A provider for Handover, in a file: what docs/kinds/exec-provider.md describes, complete and small.

Usage: exec-provider.example.py ACCOUNTS.json [look | cut]
`look` may change nothing, and `cut` dies after it has acted: both are for Handover's own tests.
"""

import json
import os
import secrets
import sys

QUOTA = 2


def refuse(why):
    return {"not_done": {"why": why}}


def answer(state, asked, may_change):
    versions = state.get(asked["account"])
    if versions is None:
        return refuse("no-account")
    if asked["call"] == "list":
        # Everything but the password.
        shown = ("id", "username", "tag", "state")
        return {"done": {"versions": [{k: v[k] for k in shown if v.get(k)} for v in versions]}}
    if not may_change:
        return refuse("forbidden")
    if asked["call"] == "permitted":
        return {"done": {}}
    if asked["call"] == "create":
        if len(versions) >= QUOTA:
            return refuse("full")
        made = {
            "id": "v-" + secrets.token_hex(4),
            "username": "login-" + secrets.token_hex(4),
            "tag": asked["tag"],
            "state": "active",
            "password": asked.get("secret") or secrets.token_urlsafe(30),
        }
        versions.append(made)
        done = {"id": made["id"], "username": made["username"]}
        if "secret" not in asked:
            done["secret"] = made["password"]
        return {"done": done}
    found = [v for v in versions if v["id"] == asked["id"]]
    if asked["call"] == "delete":
        # One that is gone is done.
        versions[:] = [v for v in versions if v not in found]
        return {"done": {}}
    if not found:
        return refuse("no-version")
    if asked["call"] in ("disable", "enable"):
        found[0]["state"] = "inactive" if asked["call"] == "disable" else "active"
        return {"done": {}}
    return refuse("other")


def main():
    path = sys.argv[1]
    mode = sys.argv[2] if len(sys.argv) > 2 else ""
    asked = json.load(sys.stdin)
    if asked.get("handover") != 1:
        print(json.dumps(refuse("other")))
        return
    with open(path) as file:
        state = json.load(file)
    said = answer(state, asked, mode != "look")
    with open(path + ".new", "w") as file:
        json.dump(state, file)
    os.replace(path + ".new", path)
    if mode == "cut" and asked["call"] != "list":
        sys.exit(1)
    print(json.dumps(said))


main()
