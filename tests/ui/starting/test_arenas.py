import platform

from editor.ui.starting.arenas import keep_heaps_few


def test_glibc_is_told_and_others_are_left_alone(monkeypatch):
    assert keep_heaps_few() == (platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_heaps_few()
