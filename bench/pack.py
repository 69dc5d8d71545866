# What a plain Python program does with a spool: both files of every hour folder, with tarfile, gzip and json at their
# defaults. Written for the bench, to be compared with.
#   python3 pack.py SPOOL OUT
import gzip
import json
import os
import sys
import tarfile

spool, out = sys.argv[1:]
os.makedirs(out)
for folder in sorted(os.listdir(spool)):
    base = os.path.join(out, folder)
    with tarfile.open(base + ".tar.gz", "w:gz") as tar, gzip.open(base + ".jsonl.gz", "wb") as lines:
        for name in sorted(os.listdir(os.path.join(spool, folder))):
            path = os.path.join(spool, folder, name)
            tar.add(path, os.path.join(folder, name))
            with open(path, "rb") as file:
                post = json.load(file)
            lines.write(json.dumps(post["content"]).encode() + b"\n")
