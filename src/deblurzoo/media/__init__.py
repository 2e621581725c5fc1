"""Pictures and videos in files; which data set they belong to is not known here."""
