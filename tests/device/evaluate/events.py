"""Reads TensorBoard's event files."""


def events_of(folder):
    """Every event in the folder's files: length, its checksum, the event, its checksum, again and again."""
    from tensorboardX.proto.event_pb2 import Event

    events = []
    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            size = int.from_bytes(content[at : at + 8], "little")
            events.append(Event.FromString(content[at + 12 : at + 12 + size]))
            at += 16 + size
    return events
