"""What the reference shows of a class besides its methods: no parameters, fields by their comments.

A parameter of an estimator stands in the table of its class already. A field of a result says
what it is in the comment beside it, which takes the place of "Alias for field number 0".
"""

import inspect
import re
from typing import Any

import griffe

FIELD = re.compile(r"^    (\w+): .*?  # (.+)$", re.MULTILINE)


def is_own(member: Any) -> bool:
    """Whether a member is an attribute, and no name of something elsewhere."""
    return not member.is_alias and bool(member.is_attribute)


class Members(griffe.Extension):
    """Sets the attributes of classes right."""

    def on_class_members(self, *, node: griffe.ObjectNode, cls: griffe.Class, **_: Any) -> None:
        """Take a class, as it was made, with its members."""
        if not cls.path.startswith("isthmus."):
            return
        fields = getattr(node.obj, "_fields", ())
        comments = dict(FIELD.findall(inspect.getsource(node.obj))) if fields else {}
        for name in [name for name, member in cls.members.items() if is_own(member)]:
            if name in fields:
                field = griffe.Attribute(name, parent=cls)
                field.docstring = griffe.Docstring(comments.get(name, ""), parent=field)
                cls.members[name] = field
            else:
                del cls.members[name]
