"""What goes into bills of materials and notices: `spdx` licences, `texts` and where they are found, `crates`, code in other
languages inside them (`foreign`), what is fetched (`fetched`), and the `document`. `bill.py` puts them together."""
