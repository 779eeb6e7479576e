package org.effnetlite.demo.views

import android.app.Activity
import android.view.View

/** A view that the screen's layout has. */
fun <T : View> Activity.view(id: Int): T = checkNotNull(findViewById<T>(id))

/** A view that this one's layout has. */
fun <T : View> View.view(id: Int): T = checkNotNull(findViewById<T>(id))
