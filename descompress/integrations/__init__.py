"""Our networks inside other people's pipelines. Each module needs the package it is named after."""
