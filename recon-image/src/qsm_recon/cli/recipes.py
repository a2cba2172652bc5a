"""`qsm-recon recipes list|show`."""

import sys

import click

from qsm_recon import recipes
from qsm_recon.cli.options import print_json


@click.group(name="recipes")
def command() -> None:
    """List and show recipes; a recipe says which method each stage uses, with which parameters."""


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def list_recipes(*, as_json: bool) -> None:
    """List the recipes that come with the program."""
    loaded = [recipes.load(name) for name in recipes.packaged_names()]
    if as_json:
        print_json([{**_identity(recipe), "description": recipe.config.description} for recipe in loaded])
        return
    for recipe in loaded:
        default = "  (default)" if recipe.config.name == recipes.DEFAULT else ""
        sys.stdout.write(f"{recipe.config.name}{default}\n    {recipe.config.description}\n")


@command.command()
@click.argument("recipe_name", metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Values with defaults filled in, and their hash, as JSON.")
def show(recipe_name: str, *, as_json: bool) -> None:
    """Check a recipe and print it."""
    recipe = recipes.load(recipe_name)
    if as_json:
        print_json({**_identity(recipe), "values": recipe.config.canonical()})
    else:
        sys.stdout.write(recipe.text if recipe.text.endswith("\n") else recipe.text + "\n")


def _identity(recipe: recipes.Recipe) -> dict[str, object]:
    return {"name": recipe.config.name, "version": recipe.config.version, "sha256": recipe.sha256}
