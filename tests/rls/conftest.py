from tests.salon import salon, shared_salon

__all__ = ["salon", "shared_salon"]
