//! Declarative tenant manager for the CrystalQore platform and its FusionPBX servers.
