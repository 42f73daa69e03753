"""Published data sets: find, download, verify and unpack them.

catalogue      the data sets: licence, place of publication, size, what they contain
record         the files that the publisher offers, with sizes and checksums
transfer       download a file over HTTP: resume, retry, verify
verification   compare a downloaded file with the published one
split_zip      read a zip that was split into several files
unpack         unpack a zip that may be hostile
installation   from the publisher's files to a folder that prepare reads
kaggle         a competition's files by Kaggle's own client

May import: runtime.
"""
