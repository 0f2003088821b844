"""Manual pages that follow from the sources: edged-dbus(7) and edged-bundle(5). What each says, and from where, is told in its module."""
