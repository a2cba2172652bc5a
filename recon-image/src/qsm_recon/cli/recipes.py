"""`qsm-recon recipes list|show|methods`."""

import sys
from dataclasses import asdict

import click

from qsm_recon import recipes
from qsm_recon.cli.options import print_json
from qsm_recon.recipes.methods import methods


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


@command.command(name="methods")
@click.option("--json", "as_json", is_flag=True, help="With every parameter: default, allowed values, meaning.")
def list_methods(*, as_json: bool) -> None:
    """List the methods that a recipe can name at each stage, with their parameters and defaults."""
    if as_json:
        print_json([asdict(method) for method in methods()])
        return
    stage = ""
    for method in methods():
        if method.stage != stage:
            stage = method.stage
            sys.stdout.write(f"{stage}\n")
        values = " ".join(f"{p.name}={p.default_text}" for p in method.parameters)
        sys.stdout.write(f"    {method.name}".ljust(20) + f" {values}\n")


def _identity(recipe: recipes.Recipe) -> dict[str, object]:
    return {"name": recipe.config.name, "version": recipe.config.version, "sha256": recipe.sha256}
