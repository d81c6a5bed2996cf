"""A bound on the memory that uploads hold, over all requests together."""

from speechpool.errors import QuotaExceeded

__all__ = ["UploadBudget"]


class UploadBudget:
    """Counts the bytes of uploads that are in memory."""

    def __init__(self) -> None:
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of all uploads in memory now."""
        return self._held_bytes

    def reserve(self, size_bytes: int, *, limit_bytes: int) -> None:
        """Take room for bytes that came.

        Args:
            size_bytes: How many.
            limit_bytes: The bound over all uploads, as it is now.

        Raises:
            QuotaExceeded: All uploads together would pass the bound.
        """
        if self._held_bytes + size_bytes > limit_bytes:
            raise QuotaExceeded(
                f"all uploads together may hold {limit_bytes} bytes (maxUploadTotalBytes); try again later",
                retry_after_seconds=1.0,
                param="file",
                code="too_many_uploads",
            )
        self._held_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        """Give room back."""
        self._held_bytes -= size_bytes
