"""The coordinators as plain classes."""
