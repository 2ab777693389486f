"""`macsmith pdk`: technology libraries."""

from macsmith.experiments import console
from macsmith.experiments.cli_app import App, Commands, Json, app

__all__ = ["pdk"]

pdk = App(
    cls=Commands,
    help="Technology libraries: which are here.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(pdk, name="pdk")


@pdk.command("list")
def list_libraries(json: Json = False) -> None:
    """Libraries by name, their cells, and where they are."""
    from macsmith.experiments import libraries

    with console.working("libraries"):
        found = libraries.examine()
    if json:
        console.print_json([one.as_dict() for one in found])
    elif found:
        console.show(libraries.table(found))
    else:
        console.say("no library is here: `macsmith doctor` says how to get one")
