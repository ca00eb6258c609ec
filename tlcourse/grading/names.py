"""Whose a name in a test cell is. In two kernels that is decided by the teacher's notebook, before anything runs:
the learner may fill in only what the teacher's own solutions define."""

import builtins
import symtable

from IPython.core.inputtransformer2 import TransformerManager

_BUILTINS = frozenset(dir(builtins))


def used(source):
    """The names that the code of a cell takes from its notebook."""
    return {
        symbol.get_name()
        for table in _tables(source)
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module")
    } - _BUILTINS


def made(source, imported=True):
    """The names that the code of a cell gives to its notebook, with or without those that it imports."""
    return {
        symbol.get_name()
        for table in _tables(source)
        for symbol in table.get_symbols()
        if (symbol.is_assigned() or imported and symbol.is_imported())
        and (table.get_type() == "module" or symbol.is_declared_global())
    }


def imports(source):
    """The lines of a cell that are imports."""
    return "\n".join(line for line in source.splitlines() if line.startswith(("import ", "from ")) and "(" not in line)


def _tables(source):
    """The symbol tables of a cell's code, `%magic` and top-level `await` allowed; none if it is no Python."""
    try:
        waiting = [symtable.symtable(TransformerManager().transform_cell(source), "cell", "exec")]
    except (SyntaxError, ValueError):
        return []
    for table in waiting:
        waiting += table.get_children()
    return waiting
