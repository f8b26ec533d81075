"""Recipes found under a budget: measured layer by layer, searched, verified."""

from .requests import Material, Search, budget_of, read_material
from .searches import Answer, prepared, searched

__all__ = ["Answer", "Material", "Search", "budget_of", "prepared", "read_material", "searched"]
